stand-in for saved_model/saved_model.pb
