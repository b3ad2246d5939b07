"""The captcha reader ddddocr, dynamically quantized to uint8, and words drawn as captchas."""
