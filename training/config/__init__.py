"""Configuration of a training: recipes, augmentation strengths, distillation settings, and `key=value` overrides."""
