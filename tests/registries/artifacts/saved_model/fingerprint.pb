stand-in for saved_model/fingerprint.pb
