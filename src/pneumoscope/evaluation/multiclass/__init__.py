"""What is known of a reader of more than two classes, beside the numbers of its positive group."""
