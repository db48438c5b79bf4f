stand-in for nested/1/saved_model.pb
