"""A ticket goes in; a suggestion comes out, in time, with reasons, whatever the model does."""
