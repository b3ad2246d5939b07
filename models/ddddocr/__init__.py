"""The captcha readers of ddddocr, in float32 and dynamically quantized to uint8, and words drawn as captchas."""
