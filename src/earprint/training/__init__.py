"""Training: networks, data, augmentation, loss and loop in torch (the ``train`` extra); export to ONNX."""
