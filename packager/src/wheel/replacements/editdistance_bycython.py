"""The native part of editdistance, in Python: Levenshtein's distance of two sequences of what can be hashed."""


def eval(a, b):
    """How many items have to be put in, taken out or exchanged to make one of the other."""
    a, b = ([hash(item) for item in sequence] for sequence in (a, b))
    while a and b and a[-1] == b[-1]:
        del a[-1], b[-1]
    row = list(range(len(b) + 1))
    for number, item in enumerate(a, 1):
        before, row[0] = row[0], number
        for column, other in enumerate(b):
            exchanged = before + (item != other)
            before = row[column + 1]
            row[column + 1] = min(exchanged, before + 1, row[column] + 1)
    return row[-1]


eval_dp = eval  # natively the same by another way


def eval_criterion(a, b, thr):
    """Are they at most `thr` apart?"""
    return abs(len(a) - len(b)) <= thr and eval(a, b) <= thr
