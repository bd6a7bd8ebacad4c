"""What the log tells of: the moments that kills are aimed at. The order is that of a frame's way through the program."""

EVENTS = [
    ("frame arrived", r"frame arrived"),
    ("masters begun", r"making the masters"),
    ("master promoted", r"master promoted"),
    ("packet journaled", r"packet journaled"),
    ("trigger changed", r"trigger (opened|updated)"),
    ("image state rebuilt", r"rebuilding the image state"),
    ("frame processed", r"frame processed"),
    ("frame reduced", r"frame reduced"),
    ("deadline due", r"deadline due"),
    ("deadline analysed", r"deadline analysed"),
    ("analysis ready", r"analysis ready"),
    ("product made", r"product made"),
    ("receiver answered", r" answered .*outcome="),
    ("receipt stored", r"receipt stored"),
    ("deadline delivered", r" delivered .*deadline="),
    ("trigger closed", r"trigger closed"),
    ("status file", r"status file written"),
]

# A line of any of these after a restart says that work goes on.
WORK = "|".join(pattern for _, pattern in EVENTS)
