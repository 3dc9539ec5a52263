"""What the registry costs. Figures are printed beside their bars, and never asserted."""
