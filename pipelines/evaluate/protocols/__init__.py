"""What is measured on: UCF-101 and MSR-VTT in the layouts of their users, and what others have published."""
