"""What people see of a run: its progress, its records, its summary and its report."""
