"""Skeleton messages of any type, described by `config/sources/NAME.yaml`, read as frames of people."""
