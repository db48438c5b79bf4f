"""What `modelctl bench` measures: our functions against the shortest code that does the same.

The modules follow the way of a figure: `functions` prepares both sides, `uploads` is the S3 that they speak to,
`measurements` runs them in turns, `imports` says where a cold start goes, `rows` makes figures of the times and holds
them against their goals. `README.md` says how to read them.
"""
