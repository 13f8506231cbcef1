"""Neural networks of the methods; they know nothing of AnnData and of the model class."""
