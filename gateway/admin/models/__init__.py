"""What the admin API takes and gives, one file per noun: these validate, and describe it."""
