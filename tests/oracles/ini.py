"""What Python's ConfigParser makes of a set of texts: writes ini.json beside this file.

Each case is {"text", "sections"}; sections is null where Python raises an error, in reading or in get().
Run: python3 tests/oracles/ini.py
"""

import configparser
import json
import pathlib
import tempfile

TEXTS = [
    "[General]\ninput = /data/in\nlog_path = /data/out\n\n# Pipelines\n\n[pipeline-test]\nidentifier_header = A,B\n",
    "[Structure of pipeline]\nreduction = yes\nPhotometry = no\nImage subtraction = no\n",
    "[A]\nps      = 0.000195\ngain    = 6.2\n",
    "[A]\nkey = value # not a comment\nother = value ; neither\n",
    "[A]\n# comment\n; comment\n   # indented comment\nkey = 1\n",
    "[A]\nkey : value\nother:value=with:all\nthird=a=b\n",
    "[A]\nKEY = 1\n[a]\nkey = 2\n",
    "[A]\nkey = 1\nKey = 2\n",
    "[A]\nkey = 1\n[B]\n[A]\n",
    "key = 1\n[A]\n",
    "\n\n# only comments\n",
    "",
    "[A]\nnothing\n",
    "[A]\nempty =\nalso_empty:\nspaces =    \n",
    "[A]\n = value\n",
    "[A]\nlong = first\n  second\n\tthird\nnext = 1\n",
    "[A]\nlong = first\n\n  after a blank line\n\n\nnext = 1\n",
    "[A]\nlong =\n  one\n  two\n",
    "[A]\nlong = one\n  # comment in a value\n  two\n",
    "[A]\n  indented = 1\n  also = 2\n    deeper = 3\nback = 4\n",
    "  [A]\n  key = 1\n",
    "  [A]\n    key = 1\n    next = 2\n",
    "[A]\nkey = 1\n  [B]\nother = 2\n",
    "[A]\n  [B]\n",
    "[A] trailing text\nkey = 1\n",
    "[A]]\nkey = 1\n",
    "[A] x ] y\nkey = 1\n",
    "[]\nkey = 1\n",
    "[A\nkey = 1\n",
    "[ A ]\nkey = 1\n",
    "[DEFAULT]\nbase = /data\n[A]\ninput = %(base)s/in\n[B]\nbase = /other\ninput = %(BASE)s/in\n",
    "[DEFAULT]\nx = 1\n[A]\n[DEFAULT]\ny = 2\n",
    "[DEFAULT]\nx = 1\n[A]\n[DEFAULT]\nx = 2\n",
    "[A]\nhalf = 50%%\n",
    "[A]\nhalf = 50%\n",
    "[A]\nhalf = %(missing)s\n",
    "[A]\nhalf = %(unclosed\n",
    "[A]\na = %(b)s\nb = %(a)s\n",
    "[A]\na = %(b)s!\nb = %(c)s?\nc = deep\n",
    "[A]\na = %(b)d\nb = 1\n",
    "[A]\r\nkey = 1\r\nother = 2\r\n",
    "[A]\rkey = 1\rother = 2\r",
    "[A]\nkey = caf\u00e9 \u2603\n\u00c9T\u00c9 = 1\n",
    "[A]\n\u00a0nbsp = 1\nunit\x1f = 2\n",
    "[A]\nkey = trailing spaces   \t \nlast = no newline at the end",
    "[A]\nkey with spaces   =   value with  spaces\n",
    "[A]\nkey\n= 1\n",
    "[A]\n\nkey = 1\n\n\n[B]\n\n\n",
]


def sections(text):
    """Sections, keys and interpolated values, or None where Python refuses the text."""
    with tempfile.NamedTemporaryFile("w", newline="", encoding="utf-8", suffix=".cfg") as file:
        file.write(text)
        file.flush()
        parser = configparser.ConfigParser()
        try:
            parser.read(file.name, encoding="utf-8")
            return {name: {key: parser.get(name, key) for key in parser[name]} for name in parser.sections()}
        except configparser.Error:
            return None


if __name__ == "__main__":
    cases = [{"text": text, "sections": sections(text)} for text in TEXTS]
    output = pathlib.Path(__file__).with_suffix(".json")
    output.write_text(json.dumps(cases, indent=1, sort_keys=True) + "\n", encoding="utf-8")
