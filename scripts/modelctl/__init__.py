"""The command line of Modelyard: package, run locally, predict, look into a deployment."""
