"""The native part of Levenshtein, in Python: strings in the middle of others, and how alike lists of strings are.

All else that Levenshtein has it takes from rapidfuzz, which has it in Python, too.
"""

import math

from rapidfuzz.distance import Indel, Levenshtein


def _given(strings, weights=None):
    strings = [string.decode("latin-1") if isinstance(string, bytes) else string for string in strings]
    if not all(isinstance(string, str) for string in strings):
        raise TypeError("a list of strings is expected")
    if weights is None:
        return strings, [1.0] * len(strings)
    weights = [float(weight) for weight in weights]
    if len(weights) != len(strings):
        raise ValueError("there have to be as many weights as strings")
    if min(weights, default=0) < 0:
        raise ValueError("weights cannot be negative")
    return strings, weights


def _symbols(strings):
    return sorted(set().union(*strings))


def _total(candidate, strings, weights):
    return sum(Levenshtein.distance(candidate, string) * weight for string, weight in zip(strings, weights))


def median(strlist, wlist=None, /):
    """A string that has little distance from all, found symbol by symbol: the next is that with which the rest may still come closest."""
    strings, weights = _given(strlist, wlist)
    symbols = _symbols(strings)
    longest = max(map(len, strings), default=0)
    rows = [list(range(len(string) + 1)) for string in strings]
    found, totals = [], [sum(len(string) * weight for string, weight in zip(strings, weights))]
    while symbols and len(found) <= 2 * longest:
        best = None
        for symbol in symbols:
            after = [_row(row, string, symbol) for row, string in zip(rows, strings)]
            least = sum(min(row) * weight for row, weight in zip(after, weights))
            if best is None or least < best[0]:
                best = least, symbol, after
        _, symbol, rows = best
        found.append(symbol)
        totals.append(sum(row[-1] * weight for row, weight in zip(rows, weights)))
        if len(found) > longest and totals[-1] > totals[-2]:
            break
    return "".join(found[: totals.index(min(totals))])


def _row(row, string, symbol):
    """The distances of a string's beginnings from one that is a symbol longer than that of `row`."""
    after = [row[0] + 1]
    for place, other in enumerate(string):
        after.append(min(row[place] + (symbol != other), row[place + 1] + 1, after[place] + 1))
    return after


def quickmedian(strlist, wlist=None, /):
    """A string of the mean length, at each place with the symbol that most have about there."""
    strings, weights = _given(strlist, wlist)
    weight_of_all = sum(weights)
    if not weight_of_all:
        return ""
    length = math.floor(sum(len(s) * w for s, w in zip(strings, weights)) / weight_of_all + 0.499999)
    symbols = _symbols(strings)
    found = []
    for place in range(length):
        shares = dict.fromkeys(symbols, 0.0)
        for string, weight in zip(strings, weights):
            if not string:
                continue
            step = len(string) / length
            start, end = step * place, step * (place + 1)
            first, last = math.floor(start), min(math.ceil(end), len(string))
            for inner in range(first + 1, last):
                shares[string[inner]] += weight
            shares[string[first]] += weight * (1 + first - start)
            shares[string[last - 1]] -= weight * (last - end)
        found.append(max(symbols, key=shares.__getitem__))
    return "".join(found)


def median_improve(string, strlist, wlist=None, /):
    """The string with each symbol exchanged, put in or taken out, from the first on, where that brings it closer to all."""
    strings, weights = _given(strlist, wlist)
    if isinstance(string, bytes):
        string = string.decode("latin-1")
    symbols = _symbols(strings)
    least, place = _total(string, strings, weights), 0
    while place <= len(string):
        before, here, after = string[:place], string[place : place + 1], string[place + 1 :]
        exchanged = [before + symbol + after for symbol in symbols if here and symbol != here]
        more = [before + symbol + here + after for symbol in symbols]
        taken = [before + after] if here else []
        shorter = False
        for candidate in exchanged + more + taken:
            total = _total(candidate, strings, weights)
            if total < least:
                least, string, shorter = total, candidate, candidate in taken
        place += not shorter
    return string


def setmedian(strlist, wlist=None, /):
    """That of the strings which has the least distance from all."""
    strings, weights = _given(strlist, wlist)
    return min(strings, key=lambda string: _total(string, strings, weights), default="")


def _unlike(one, other):
    """0 for the same, 2 for what has nothing in common: as much as taking one out and putting the other in."""
    return 2 * Indel.normalized_distance(one, other)


def seqratio(strlist1, strlist2, /):
    """How alike lists are in which like strings stand in the same order: 1 is the same."""
    one, other = _given(strlist1)[0], _given(strlist2)[0]
    if not one and not other:
        return 1.0
    row = [float(place) for place in range(len(other) + 1)]
    for string in one:
        after = [row[0] + 1]
        for place, fellow in enumerate(other):
            after.append(min(row[place] + _unlike(string, fellow), row[place + 1] + 1, after[place] + 1))
        row = after
    size = len(one) + len(other)
    return (size - row[-1]) / size


def setratio(strlist1, strlist2, /):
    """How alike lists are in whichever order: 1 is the same."""
    one, other = sorted((_given(strlist1)[0], _given(strlist2)[0]), key=len)
    if not other:
        return 1.0
    size = len(one) + len(other)
    distance = len(other) - len(one) + _least_sum([[_unlike(string, fellow) for fellow in other] for string in one])
    return (size - distance) / size


def _least_sum(costs):
    """The least sum of costs with which each row gets a column of its own, of which there are enough: the Hungarian method."""
    columns = len(costs[0]) if costs else 0
    of_rows, of_columns = [0.0] * len(costs), [0.0] * (columns + 1)
    owner = [None] * (columns + 1)  # the last column is where each row comes from
    for row in range(len(costs)):
        owner[columns] = row
        slack, came_from, seen = [math.inf] * columns, [columns] * columns, [False] * (columns + 1)
        column = columns
        while owner[column] is not None:
            seen[column] = True
            current = owner[column]
            for other in range(columns):
                if not seen[other]:
                    cost = costs[current][other] - of_rows[current] - of_columns[other]
                    if cost < slack[other]:
                        slack[other], came_from[other] = cost, column
            nearest = min((other for other in range(columns) if not seen[other]), key=slack.__getitem__)
            step = slack[nearest]
            for other in range(columns + 1):
                if seen[other]:
                    of_rows[owner[other]] += step
                    of_columns[other] -= step
                elif other < columns:
                    slack[other] -= step
            column = nearest
        while column != columns:
            owner[column], column = owner[came_from[column]], came_from[column]
        owner[columns] = None
    return sum(costs[row][column] for column, row in enumerate(owner[:columns]) if row is not None)
