"""The CloudCasa API on Holdfast: its documents as custom resources, and what makes copies of them."""
