"""HTML: one self-contained file a result, or a fragment for a notebook, from templates and their macros.

A module ``render/<result>/html.py`` gathers what is to be said into plain values and hands them to
`onnxtop.render.html.page.page` with the name of its template, ``templates/<result>.html``. The frame gives
the verdict, the bar with links to the sections, the glossary of the words used, the style and the script,
both allowed by their hashes in the page's content-security policy: there are no ``style`` attributes and no
handlers in the markup, and nothing is loaded.

Rules of the templates:

- Every value that is a string is shown as text: what does not print is escaped (`visible`), then HTML is.
  Only ``Markup`` goes in as it is: made by macros, by `onnxtop.render.html.charts` and by ``term``.
- All content is there without the script, which only adds what makes it handy.
- ``term("np")`` writes a word with its explanation at hand, ``term("np", "NP of the layer")`` one that is
  shown otherwise; the explanations stand once, at the end of the page. A word that the glossary does not
  know is an error. ``term("largest", group="trace")`` prefers the glossary of one verb.
- ``{% call section("layers", "Layers") %}...{% endcall %}`` makes a section with its heading, to which the
  bar at the top links; ``level=3, listed=False`` one inside of a section.

A template begins with what it uses of the macros::

    {% from "macros.html" import facts, findings, table, tiles, card, pictures with context %}

``facts(entries)``
    A list of labels with their values, of `Fact`.
``tiles(entries)``
    The same as a row of large figures.
``findings(groups, most=5)``
    What was found, by the rule that found it, of `FindingGroup`; all but the first of each are folded.
``table(key, it, tools=true)``
    A `Sheet`, which can be sorted, searched and filtered unless it has no ``tools``.
``card(summary, key)``
    A part that is folded: ``{% call card("layer 1", "layer-1") %}...{% endcall %}``.
``pictures(entries)``
    A row of figures, of `Picture`; the names of their curves stand in their colours.
``drawing(picture, caption)``
    A figure as wide as the page.
``sentences(entries, most=12)``
    A list; all but the first are folded.
``verdict(headline, title)``
    The box with the headline. A page has it already; a fragment asks for it.

The dataclasses are in `onnxtop.render.html.parts`.
"""
