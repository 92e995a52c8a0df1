//! What holds for all widgets: any size, any text, any look.
