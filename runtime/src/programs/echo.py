import sys

words = sys.argv[1:]
bare = words[:1] == ["-n"]
print(*words[bare:], end="" if bare else "\n")
