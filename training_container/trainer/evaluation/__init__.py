"""How good a finished model is: the tuned one beside its base, on the same examples that neither was trained on.

generation    answers compared with references: exact match, F1, BLEU, valid JSON
likelihood    loss, perplexity and token accuracy; for preference data, which answer is thought the likelier one
tasks         lm-eval task files
comparison    all of it in one table for the model card and one sentence for the log
"""
