"""Parts of other tools' files, made as those tools make them."""


def packed(counts: list[int]) -> str:
    """COCO's packed string of run lengths, after `rleToString` of cocoapi's maskApi.c."""
    text = ""
    for i, count in enumerate(counts):
        x = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            c = x & 0x1F
            x >>= 5
            more = x != -1 if c & 0x10 else x != 0
            text += chr((c | 0x20 if more else c) + 48)
    return text
