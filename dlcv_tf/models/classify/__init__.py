"""Networks that name what is in a picture: `{"logits": (batch, classes)}`."""
