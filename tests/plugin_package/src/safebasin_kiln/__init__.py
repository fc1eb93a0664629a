"""What safebasin-kiln adds to the catalogue of safebasin. Names, no imports: each module is loaded when it is used."""

from safebasin.catalog import Row

ROWS = (
    Row(
        kind="judge",
        name="pardon",
        target="safebasin_kiln.judge:Pardon",
        summary="Refused where the response asks pardon, wherever it does.",
        source="safebasin-kiln",
        facts=(("measures", "refusal"),),
    ),
    Row(
        kind="direction",
        name="coin",
        target="safebasin_kiln.direction:Coin",
        summary="Every weight grows or shrinks by the same share, by the toss of a coin.",
        source="safebasin-kiln",
    ),
    Row(
        kind="prompts",
        name="firing",
        target="safebasin_kiln.prompts:Firing",
        summary="Questions about firing clay, all benign.",
        source="safebasin-kiln",
        facts=(("licence", "CC0-1.0"), ("n", "12")),
    ),
    Row(
        kind="defense",
        name="sift",
        target="safebasin_kiln.sift:Sift",
        summary="Leaves out training rows whose response holds a word.",
        source="safebasin-kiln",
    ),
    Row(
        kind="defense",
        name="cool",
        target="safebasin_kiln.cool:Cool",
        summary="Freezes layers, and pulls the others toward where they began.",
        source="safebasin-kiln",
    ),
    Row(
        kind="defense",
        name="temper",
        target="safebasin_kiln.temper:Temper",
        summary="Takes back a part of what the training moved.",
        source="safebasin-kiln",
    ),
    Row(
        kind="defense",
        name="steer",
        target="safebasin_kiln.steer:Steer",
        summary="Adds the mean embedding of its prompt to every token, while the model decodes.",
        source="safebasin-kiln",
    ),
    Row(
        kind="edit",
        name="thin",
        target="safebasin_kiln.thin:Thin",
        summary="Makes some weights smaller by a share.",
        source="safebasin-kiln",
    ),
)
