"""The simulated town: what stands where (model, site, blocks, plan) and how it looks (canvas, shapes, paint, render)."""
