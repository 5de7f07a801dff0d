"""torch.export archives -> a torch module, without running anything that the archive holds."""
