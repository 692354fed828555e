"""A model that learns while people answer: answers, a fit, the next questions."""
