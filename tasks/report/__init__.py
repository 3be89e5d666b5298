"""The report page: one HTML file in which a person hears, sees and judges what a job made."""
