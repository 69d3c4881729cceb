"""What a folder of images holds, what is wrong with it, and what a model could cheat with."""
