"""`modelctl import`: from a model file to an artifact and an entry of the registry.

The modules follow the path of the data: `source` describes the model that was given. `child` answers inputs with the
code that serves, and `convert` converts to LiteRT; both run in separate processes, which `children` starts. `inputs`
makes up inputs if none were given, `proof` compares the answers, `entry` writes into the registry's text, and
`importer` does it all.
"""
