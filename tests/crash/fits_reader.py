"""Reads FITS headers and binary tables, from the standard (FITS 4.0) alone and with nothing but the standard library.

It shares no code with the program under test: it is there to doubt what that program wrote.
"""

import struct

BLOCK = 2880
CARD = 80
# One letter of TFORM: bytes of an element, and how `struct` reads it (None: as bytes).
FORMS = {
    "L": (1, None), "A": (1, None), "B": (1, "B"), "I": (2, "h"), "J": (4, "i"), "K": (8, "q"),
    "E": (4, "f"), "D": (8, "d"), "C": (8, None), "M": (16, None), "X": (1, None),
    "P": (8, None), "Q": (16, None),
}


class FitsProblem(Exception):
    """The bytes are no FITS file, or not a whole one."""


class Unit:
    """A header with its data: `cards` in order, `header` by keyword, `data` as bytes with their padding."""

    def __init__(self, cards, header_bytes, data):
        self.cards = cards
        self.header = dict((key, value) for key, value, _ in cards if key not in ("COMMENT", "HISTORY", ""))
        self.header_bytes = header_bytes
        self.data = data

    def name(self):
        return self.header.get("EXTNAME", "")

    def columns(self):
        """Values of each column of a binary table, as a list over the rows, by name."""
        if self.header.get("XTENSION") != "BINTABLE":
            return {}
        row_bytes, rows = self.header["NAXIS1"], self.header["NAXIS2"]
        found, offset = {}, 0
        for number in range(1, self.header["TFIELDS"] + 1):
            form = self.header[f"TFORM{number}"].strip()
            digits = len(form) - len(form.lstrip("0123456789"))
            repeat = int(form[:digits] or 1)
            size, code = FORMS[form[digits]]
            width = (repeat + 7) // 8 if form[digits] == "X" else repeat * size
            values = []
            for row in range(rows):
                start = row * row_bytes + offset
                cell = self.data[start:start + width]
                values.append(cell if code is None else struct.unpack(f">{repeat}{code}", cell))
            found[self.header.get(f"TTYPE{number}", f"column {number}")] = values
            offset += width
        return found


def value_of(text):
    """The value of a card and its comment."""
    text = text.lstrip()
    if text.startswith("'"):
        value, index = "", 1
        while index < len(text):
            if text[index] == "'":
                if text[index + 1:index + 2] == "'":
                    value, index = value + "'", index + 2
                    continue
                break
            value, index = value + text[index], index + 1
        rest = text[index + 1:]
        return value.rstrip(), rest.partition("/")[2].strip()
    word, _, comment = text.partition("/")
    word = word.strip()
    if word in ("T", "F"):
        return word == "T", comment.strip()
    for read in (int, lambda number: float(number.replace("D", "E"))):
        try:
            return read(word), comment.strip()
        except ValueError:
            pass
    return word, comment.strip()


def read(content):
    """The units of a file, from its bytes."""
    units, position = [], 0
    while position < len(content):
        cards, start, ended = [], position, False
        while not ended:
            block = content[position:position + BLOCK]
            if len(block) < BLOCK:
                raise FitsProblem(f"the header that begins at byte {start} is cut off")
            position += BLOCK
            for index in range(0, BLOCK, CARD):
                card = block[index:index + CARD].decode("ascii")
                key = card[:8].rstrip()
                if key == "END":
                    ended = True
                    break
                if card[8:10] == "= ":
                    cards.append((key, *value_of(card[10:])))
                else:
                    cards.append((key, None, card[8:].rstrip()))
        header = dict((key, value) for key, value, _ in cards)
        size = abs(header["BITPIX"]) // 8 if header["NAXIS"] else 0
        for axis in range(1, header["NAXIS"] + 1):
            size *= header[f"NAXIS{axis}"]
        size = size * header.get("GCOUNT", 1) + header.get("PCOUNT", 0)
        padded = (size + BLOCK - 1) // BLOCK * BLOCK
        data = content[position:position + padded]
        if len(data) < padded:
            raise FitsProblem(f"the data of unit {len(units)} are cut off: {len(data)} of {padded} bytes")
        units.append(Unit(cards, content[start:position], data))
        position += padded
    if not units:
        raise FitsProblem("there is nothing in it")
    return units


def ones_complement_sum(data):
    """The 32-bit ones' complement sum of the checksum convention (FITS 4.0, appendix J)."""
    total = sum(struct.unpack(f">{len(data) // 4}I", data))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def checksum_problems(content):
    """What DATASUM and CHECKSUM say against the bytes; an empty list if they agree."""
    problems = []
    for number, unit in enumerate(read(content)):
        if "DATASUM" in unit.header and int(unit.header["DATASUM"]) != ones_complement_sum(unit.data):
            problems.append(f"unit {number}: DATASUM does not agree with the data")
        if "CHECKSUM" in unit.header:
            total = ones_complement_sum(unit.header_bytes + unit.data)
            if total not in (0, 0xFFFFFFFF):
                problems.append(f"unit {number}: CHECKSUM does not agree with the unit")
    return problems


def differences(left, right, ignored):
    """What differs between two files' bytes in keywords and columns, but for the keywords in `ignored`."""
    left, right = read(left), read(right)
    if len(left) != len(right):
        return [f"{len(left)} units against {len(right)}"]
    found = []
    for number, (one, other) in enumerate(zip(left, right)):
        place = f"unit {number} {one.name()}".strip()
        kept = [[card for card in unit.cards if card[0] not in ignored] for unit in (one, other)]
        if kept[0] != kept[1]:
            keys = sorted({card[0] for pair in zip(*kept) if pair[0] != pair[1] for card in pair})
            found.append(f"{place}: keywords {', '.join(keys) or 'more or fewer'}")
        columns = one.columns(), other.columns()
        if columns[0] != columns[1]:
            names = [name for name in columns[0] if columns[0][name] != columns[1].get(name)]
            found.append(f"{place}: columns {', '.join(names)}")
        elif not columns[0] and one.data != other.data:
            found.append(f"{place}: data")
    return found
