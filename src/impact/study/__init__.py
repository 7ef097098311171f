"""The study: one typed model of a parameter file, and the only home of defaults.

The names are those of the parameter file. A study is read at the doors (``run``, ``cli``) and in notebooks,
and handed on as plain keyword arguments: ``source``, ``window``, ``did.arguments``, ``matching.arguments``.
"""

from impact.study.batch import manifest, read_studies
from impact.study.model import Study
from impact.study.project import project_root, rooted

__all__ = ["Study", "manifest", "project_root", "read_studies", "rooted"]
