"""`modelctl import`: from a model file to an artifact and an entry of the registry.

The modules follow the way of the data: `source` says what was given, `child` answers inputs with the code that serves
and `convert` makes LiteRT of it, both in processes of their own, which `children` starts; `inputs` makes up inputs
where nobody gave any, `proof` compares the answers, `entry` writes into the registry's text, and `importer` does it
all.
"""
