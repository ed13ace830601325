"""Commands of export and deployment: `main` has export and convert, the other modules one each."""
