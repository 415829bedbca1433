"""Training in torch (the ``train`` extra): networks, data, augmentation, losses, training loop, export."""
