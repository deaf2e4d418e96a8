"""What SAM 2, EdgeTAM and SAM 3's tracker share: `transformers`' networks, and a loop of ours around them."""
