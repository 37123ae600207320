"""The panel: what is sung, and every setting that can be changed meanwhile, on a page that a process of its own serves."""
