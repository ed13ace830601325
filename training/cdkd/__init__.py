"""Cross-domain knowledge distillation for small pictures (paper B: Gu et al., CDKD), one module per section.

`sape` aligns features (eq. 1-5), `cca` classes (eq. 6-7), `etht` trains from easy to hard (eq. 9-12), `distiller` sums
the losses (eq. 8). Weights files hold none of it.
"""
