"""The demonstration: music composed on the spot, spoiled, and identified. Also of use to tests."""
