"""Words of the glossary become links at their first use, and nothing else on a page changes."""

from __future__ import annotations

import re

from regrow_companion.site.shared import Term, terms
from regrow_companion.site.words import linked

WORDS = (Term("degree", "All connections of a neuron.", ("04",)),
         Term("degree distribution", 'The share of "neurons".', ("04",)),
         Term("p-value", "How often.", ("06",), ("significance",)))


def test_the_first_use_of_a_term_is_a_link_with_its_meaning() -> None:
    text = linked("<p>Its degree; the degree again.</p><p>Degrees, too.</p>", WORDS)
    assert text == ('<p>Its <a class="term" href="glossary.html#degree" title="All connections of a neuron.">'
                    "degree</a>; the degree again.</p><p>Degrees, too.</p>")


def test_the_longer_term_is_meant_and_both_have_their_link() -> None:
    text = linked("<p>The Degree distribution of a degree.</p>", WORDS)
    assert re.findall(r'#([\w-]+)" title="[^"]*">([^<]+)<', text) == [("degree-distribution", "Degree distribution"),
                                                                     ("degree", "degree")]
    assert "&quot;neurons&quot;" in text


def test_formulas_code_headings_tables_and_links_stay() -> None:
    for text in ("<h2 id='a'>The degree</h2>", "<p>$degree$ and $$degree$$ and <code>degree</code></p>",
                 "<pre>a <span>degree</span></pre>", '<p><a href="x.html">a degree</a></p>', "<p>in-degree</p>",
                 "<table><tr><td>degree</td></tr></table>", "<details><summary>degree</summary></details>"):
        assert linked(text, WORDS) == text
    assert linked('<p><br>degree<img alt="degree" src="x"></p>', WORDS).count("<a ") == 1
    assert linked("<details><summary>a</summary><p>degree</p></details>", WORDS).count("<a ") == 1


def test_other_forms_lead_to_the_same_term_once() -> None:
    assert linked("<p>Significance, p-values and a p-value</p>", WORDS).count("<a ") == 1


def test_no_form_belongs_to_two_terms() -> None:
    forms = [form.lower() for term in terms() for form in term.forms]
    assert len(forms) == len(set(forms))
