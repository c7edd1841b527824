"""What systems recommend for posts, and how good that is (paper, section 4.4 and appendix B.1).

`predict` writes what a bundle recommends to a file (`predictions`). All else needs no model, but
for BERTScore: `metrics`, `novel` and `bertscore` score each post, `bootstrap` says how certain a
mean or a difference is, `score` has every figure of a file, `evaluate` those of several files, and
`report` shows them.
"""
