"""The simulated town: what stands where (model, site, blocks, plan), and how it looks from above (canvas, shapes, paint, render)."""
