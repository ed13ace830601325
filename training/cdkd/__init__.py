"""Cross-domain knowledge distillation for small pictures (paper B: Gu et al., CDKD), one module per section.

`sape` aligns features (eq. 1-5), `cca` aligns classes (eq. 6-7), `etht` makes distillation harder over time
(eq. 9-12), `distiller` adds them up (eq. 8). Nothing of it reaches a weights file.
"""
