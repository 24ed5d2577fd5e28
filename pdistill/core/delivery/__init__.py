"""How the student leaves a run: asked, exported, served, measured."""
