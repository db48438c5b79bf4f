"""What `modelctl bench` measures: our functions against the shortest code that does the same.

The modules follow the path of a figure: `functions` prepares both sides, `uploads` is the S3 that they use,
`measurements` runs them alternately, `imports` shows what a cold start is spent on, and `rows` turns the times into
figures and compares them with their goals. `README.md` explains how to read them.
"""
