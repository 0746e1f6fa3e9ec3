"""Who is where: ids by motion, placing in a fixed frame, several cameras."""
