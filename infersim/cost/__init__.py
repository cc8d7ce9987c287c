"""What things cost: from architecture and chip to step tables, memory plan, energy and price."""
