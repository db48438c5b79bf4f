"""The command line of Modelyard: package, run locally, predict, inspect a deployment."""
