"""Training of retriever, generator and classifier, all on `transformers.Trainer` (paper, appendix A)."""
