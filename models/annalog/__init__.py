"""An encoder-decoder transformer that writes, token by token, an analogue of a molecule."""
