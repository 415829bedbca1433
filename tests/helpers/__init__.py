"""What several tests need: audio, libraries, encoders and stores made on the spot."""
